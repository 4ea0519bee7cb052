"""`board`: all runs of the outputs in the browser, followed while they run, or written as one folder of pages."""

import signal
from dataclasses import dataclass, field
from pathlib import Path

from prospero.errors import ConfigError

EXAMPLES = [
    ("prospero board", "follow the runs in outputs/ at http://127.0.0.1:8050/"),
    ("prospero board out=site", "write the board as one folder that opens without a server"),
    ("prospero board stop_button=true port=0", "with a button that stops a run, on a free port"),
]


@dataclass(kw_only=True, slots=True)
class BoardConfig:
    """Which runs, and how they are shown."""

    outputs_dir: str = "outputs"
    """Folder that holds the runs and the sweeps."""
    port: int = 8050
    """Where the board listens on 127.0.0.1; 0 takes a free port. No other machine can reach it."""
    refresh_seconds: float = 2.0
    """How often an open page asks what is new."""
    stop_button: bool = False
    """Let the page ask a running run to save and leave (its file STOP); without it nothing is ever written."""
    out: str | None = None
    """Instead of serving: a new folder, or that of an earlier export, for pages that need no server."""
    points: int = 600
    """Points of a curve in an exported folder; of more, the least and the largest of each stretch are kept."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that the runs were made with; looking needs none of them."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("outputs_dir", "out"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port} is no port; give 0 (a free one) or 1 to 65535")
        if not 0.2 <= self.refresh_seconds <= 3600:
            raise ConfigError(f"refresh_seconds={self.refresh_seconds:g} is not between 0.2 and 3600")
        if not 10 <= self.points <= 20_000:
            raise ConfigError(f"points={self.points} is not between 10 and 20000")
        if self.out is not None and self.stop_button:
            raise ConfigError("stop_button=true needs a running board, and out= writes a folder; leave one of them out")


def board(config: BoardConfig) -> int:
    """Serve the board until Ctrl-C, or write it into `out`; return the exit code."""
    from prospero import log as logging_setup
    from prospero.board.board import Board
    from prospero.log import log

    root = Path(config.outputs_dir).expanduser()
    if not root.is_dir():
        raise ConfigError(f"outputs_dir={config.outputs_dir} is no folder; train a run first: python train.py")
    logging_setup.configure()
    runs = Board(root)
    runs.refresh()
    for note in runs.notes:
        log.warning("%s", note)
    if config.out is not None:
        from prospero.board.static_site import write_site

        out = Path(config.out).expanduser()
        for note in write_site(runs, out, config.points):
            log.warning("%s", note)
        log.info("%d run%s; open %s", len(runs.views), "" if len(runs.views) == 1 else "s", out / "index.html")
        return 0
    return _serve(config, runs)


def _serve(config: BoardConfig, runs: object) -> int:
    from prospero.board.board import Board
    from prospero.board.server import BoardServer
    from prospero.log import log

    assert isinstance(runs, Board)
    options = {"refresh_seconds": config.refresh_seconds, "stop_button": config.stop_button}
    try:
        server = BoardServer(runs, config.port, **options)
    except OSError as error:
        raise ConfigError(
            f"port={config.port} cannot be used ({error.strerror}); choose another, or port=0 for a free one"
        ) from error
    with server:
        log.info("%d runs in %s; open %s (Ctrl-C ends it)", len(runs.views), config.outputs_dir, server.url)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service that is ended leaves as by Ctrl-C
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            log.info("the board is closed")
    return 0
