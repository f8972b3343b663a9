"""`python -m agentsched` is `agentsched`."""

from agentsched.cli.main import main

if __name__ == "__main__":
    main()
