"""How the war room is served: a socket that is bound first, and an end that waits for no stream.

Called by `bot.app` and by tests.
"""

import asyncio
import errno
import socket

import uvicorn
from starlette.applications import Starlette

from bot.web.live import Live
from incidents import errors

STOP_SECONDS = 5
# An accepted connection is a task in the loop's next turn and known to uvicorn in the one after.
TURNS_TO_ACCEPT = 3


class Server(uvicorn.Server):
    """Uvicorn with an end that waits for nobody.

    It would wait for ever on open streams, and until its deadline on a connection that was accepted
    in the moment of the stop; then it would leave that one, and all that are late, open.
    """

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
        """End the streams, take in nobody new, stop as always, and cut off who is still there."""
        self._live.close()
        loop = asyncio.get_running_loop()
        # Not closed yet: asyncio drops a connection that it has accepted for a closed server.
        for listening in (one for serving in self.servers for one in serving.sockets):
            loop.remove_reader(listening.fileno())
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()


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
