"""Under which version an enrollment is: one rule for everybody who plans, ends, shows or simulates."""


def followed_version(newest: int | None, follow: int | None) -> int | None:
    """The version that those inside follow, from a sequence's state: the newest where it names none."""
    return newest if follow is None else follow


def effective_version(entered: int, followed: int | None) -> int:
    """The version that an enrollment is under: the one that it entered, or a later one that all follow."""
    return entered if followed is None else max(entered, followed)
