"""The ledger on Redis or Valkey; its steps are the scripts of `ledger/lua/`."""
