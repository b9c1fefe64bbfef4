"""What can be wrong with a request. Everything else that goes wrong is our own fault: a 5xx."""


class Rejected(Exception):
    """A request that cannot be served as it was sent; the text is for the person who sent it."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status
