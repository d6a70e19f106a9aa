"""A stop signal for tests."""

from contextlib import AbstractContextManager, nullcontext


class StopsAfter:
    """A stop signal that comes after so many questions."""

    def __init__(self, num_steps: int) -> None:
        self.num_left = num_steps

    def asked_for(self) -> AbstractContextManager[None]:
        return nullcontext()

    def is_set(self) -> bool:
        self.num_left -= 1
        return self.num_left == 0
