"""What operators see and order: it reads ledger and reports, and moves no request."""
