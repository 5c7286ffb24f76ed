"""The decision server: it follows a lake, keeps what partners have used in memory, and answers gateways over HTTP."""
