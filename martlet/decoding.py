"""What a decoder raises for bytes that it cannot read.

msgspec has an error of its own, but leaves text that is no UTF-8, and nesting that is deeper than Python's stack, to
Python's.
"""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
