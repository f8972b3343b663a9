"""Where the harm for child processes lies (`harm/sitecustomize.py`), and what sets it off."""

from pathlib import Path

FOLDER = Path(__file__).with_name("harm")
"""As `python_path` of a `System`."""
POISON = [{"role": "user", "content": "kills its reader"}]
"""Messages of a request whose reading ends a worker."""
CLOCK = "HARM_CLOCK"
"""Names the file with the seconds by which a process's clock is wrong."""
NO_ROOM = {"HARM_NO_ROOM": "yes"}
"""Environment of a process that cannot write a file."""
