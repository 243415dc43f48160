"""The server of this machine that stands in for a hub, a site or a model."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from typing import Any


class LoopbackServer(ThreadingHTTPServer):
    """A server whose clients may go away in the middle of an answer."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that goes away is what many of the tests are about.

        The default prints a traceback, for which Python 3.11 parses source in this thread. Its
        parser counts depth for all threads together, so that `ast.parse` in the test's own
        thread would end with "AST constructor recursion depth mismatch".
        """
