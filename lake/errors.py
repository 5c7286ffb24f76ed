"""What a caller of the lake must decide on."""


class LakeError(Exception):
    """The place is not a usable lake. The message names it and the remedy."""


class Damaged(LakeError):
    """A file of the lake is not what was written, or is gone. The message names it and the remedy."""


class Fenced(Exception):
    """Another writer committed first. Drop all state, reopen, read the offsets again."""
