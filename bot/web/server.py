"""How the war room is served: a socket that is bound first, and an end that waits for no stream.

Called by `bot.app` and by tests.
"""

import errno
import socket

import uvicorn
from starlette.applications import Starlette

from bot.web.live import Live
from incidents import errors

STOP_SECONDS = 5


class Server(uvicorn.Server):
    """Uvicorn, which would wait for ever on open streams, ends them first."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,  # an address may carry a token
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
                lifespan="off",
            )
        )
        self._live: Live = app.state.live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then stop as always."""
        self._live.close()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises `errors.PermanentFailure` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise errors.PermanentFailure(
                f"Port {port} on {host} is in use by another program; "
                "stop that one, or set HALON_WEB_PORT to a free port (0 takes any)."
            ) from error
        raise errors.PermanentFailure(
            f"The war room cannot listen on {host}:{port} ({error.strerror}); "
            "set HALON_WEB_HOST and HALON_WEB_PORT to an address of this machine."
        ) from error
    bound.listen(128)
    return bound
