"""Everything that is tested, and how; what is kept of it between runs is bytecode."""

from tests import bytecode

bytecode.keep()
