"""What a client is told when its request cannot be answered, in the shape of OpenAI's errors."""

from typing import Any

INVALID = "invalid_request_error"


class Problem(Exception):
    """A request that is answered with an error; the message is for the client, and may quote the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.facts = {"message": message, "type": type, "param": param, "code": code}

    @property
    def body(self) -> dict[str, Any]:
        """What is sent as JSON."""
        return {"error": self.facts}


def refused(param: str, message: str, code: str | None = None) -> Problem:
    """Return the problem of a field that cannot be used as it is."""
    return Problem(400, message, param=param, code=code)


def overloaded(message: str) -> Problem:
    """Return the problem of a server that has no room or no time; the client may try again."""
    return Problem(503, message, type="server_error", code="overloaded", headers={"Retry-After": "1"})


def internal() -> Problem:
    """Return the problem of a fault of ours, of which the log says more."""
    return Problem(500, "the server has failed at this request; its log says where", type="server_error")
