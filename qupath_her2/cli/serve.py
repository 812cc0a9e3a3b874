"""``serve``: a warm scorer on this machine, with an API and a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.server.discovery import RunningService

__all__ = ["serve"]

_WHERE = "Where it listens"
_LIMITS = "Limits"

Roots = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="A request may name slides in this folder by their path. Can be given more than once.",
    ),
]
ModelFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--models", metavar="DIR", help="Offer the networks in this folder. Can be given more than once."
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Folder of the queue, uploads and results. Default: the user's folder for such files.",
    ),
]
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", rich_help_panel=_WHERE, help="Address to listen on.")
]
Port = Annotated[
    int,
    typer.Option(
        "--port", metavar="N", min=0, max=65535, rich_help_panel=_WHERE, help="Port; 0 takes a free one."
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        rich_help_panel=_WHERE,
        help="A further name by which this machine is reached, such as its name in the network. Can be given more than "
        "once.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--tls-certificate", metavar="PEM", rich_help_panel=_WHERE, help="Certificate for HTTPS."),
]
Key = Annotated[
    Path | None, typer.Option("--tls-key", metavar="PEM", rich_help_panel=_WHERE, help="Its private key.")
]
PlainHttp = Annotated[
    bool,
    typer.Option(
        "--accept-plain-http",
        rich_help_panel=_WHERE,
        help="Listen on a network without encryption: slides and token can be read on the way.",
    ),
]
MaxUpload = Annotated[
    float,
    typer.Option("--max-upload-gb", metavar="GB", min=0.001, rich_help_panel=_LIMITS, help="Largest upload."),
]
MaxWaiting = Annotated[
    int,
    typer.Option(
        "--max-waiting",
        metavar="N",
        min=1,
        rich_help_panel=_LIMITS,
        help="Jobs that may wait; further ones are told to come again.",
    ),
]
Idle = Annotated[
    float,
    typer.Option(
        "--idle-minutes",
        metavar="MIN",
        min=0.01,
        rich_help_panel=_LIMITS,
        help="Free the memory of models after so many minutes without work.",
    ),
]
EndWhenIdle = Annotated[
    bool,
    typer.Option(
        "--end-when-idle",
        rich_help_panel=_LIMITS,
        help="End after the same time without a call or a job, as a service does that QuPath started.",
    ),
]
Threads = Annotated[
    int,
    typer.Option("--threads", metavar="N", min=1, rich_help_panel=_LIMITS, help="Threads for each slide."),
]


@verb
def serve(
    root: Roots = None,
    models: ModelFolders = None,
    state: State = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    name: Names = None,
    tls_certificate: Certificate = None,
    tls_key: Key = None,
    accept_plain_http: PlainHttp = False,
    max_upload_gb: MaxUpload = 20.0,
    max_waiting: MaxWaiting = 20,
    idle_minutes: Idle = 30.0,
    end_when_idle: EndWhenIdle = False,
    workers: o.Workers = 1,
    threads: Threads = 1,
    config: o.Config = None,
    debug: o.Debug = False,
) -> int:
    """Keep the scorer warm on this machine, for QuPath, scripts and a page in the browser.

    Prints the address of the page; on a terminal it holds the token of this start, and whoever knows it may use the
    service. It listens on this machine alone, and ends with Ctrl-C; jobs that were not done are done at the next start.

    [bold]Example[/bold]

    qupath-her2 serve --root study --models study/her2/models
    """
    from qupath_her2.server.extra import need_service

    need_service()
    from qupath_her2.server.discovery import state_folder
    from qupath_her2.server.serve import serve as serve_until_stopped
    from qupath_her2.server.settings import ServiceSettings

    serve_until_stopped(
        ServiceSettings(
            state=(state or state_folder()).absolute(),
            host=host,
            port=port,
            names=tuple(name or ()),
            roots=tuple(root or ()),
            models=tuple(models or ()),
            config=config,
            workers=workers,
            threads=threads,
            max_upload_gb=max_upload_gb,
            max_waiting=max_waiting,
            idle_minutes=idle_minutes,
            ends_when_idle=end_when_idle,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            accepts_plain_http=accept_plain_http,
        ),
        _tell,
    )
    return 0


def _tell(service: RunningService, was_running: bool) -> None:
    if was_running:
        typer.echo(f"A service is running already (process {service.pid}, version {service.version}).")
    # What is no terminal is often a log, which more people read than may use the service.
    token = f"#token={service.token}" if sys.stdout.isatty() else ""
    typer.echo(f"page    {service.url}/{token}")
