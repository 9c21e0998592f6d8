"""What an error says to a caller holds no path of this machine."""

import re
from typing import Final

# At least two folders deep: a method (/martlet.v1.ServingService/Rank) or a fraction is no path.
_PATH: Final = re.compile(r"(?<![\w.:/])(?:/[\w.@+~=-]+){2,}/([\w.@+~=-]+)")


def without_paths(text: str) -> str:
    """The text with the folders of absolute paths left out.

    >>> without_paths("cannot read /var/lib/martlet/arena/graphs/model.onnx: no space")
    'cannot read …/model.onnx: no space'
    >>> without_paths("ann may not call /martlet.v1.ServingService/Rank")
    'ann may not call /martlet.v1.ServingService/Rank'
    """
    return _PATH.sub(r"…/\1", text) if "/" in text else text
