"""Open the studio in the browser."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

PORTS = 50


def main() -> int:
    options = _options()
    _private(options.offline)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from unlearn_core.runs.scratch import scratch
    from unlearn_core.vlm.errors import StudioError

    try:
        with scratch() as temporary:
            os.environ["GRADIO_TEMP_DIR"] = str(temporary)
            _serve(options)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _serve(options: argparse.Namespace) -> None:
    """Raises StudioError."""
    from components.build import build, launch
    from components.doors import admitted
    from unlearn_core.vlm.ceiling import limit_memory
    from unlearn_core.vlm.loading import DEMO, Choice, load
    from unlearn_core.vlm.terminal import progress

    choice = Choice(
        model=options.model or str(DEMO),
        revision=options.revision,
        device=options.device,
        dtype=options.dtype,
        quantize=options.quantize,
        device_map=options.device_map,
    )
    if options.memory_limit is not None:
        limit_memory(options.memory_limit)
    accounts = admitted(options.host, options.auth, options.open_to_anyone)
    port = _free_port(options.host, options.port)
    with progress() as told:  # nothing here may hold the model: who loads another one wants its memory back
        page, studio = build(choice, load(choice, progress=told), options.workspace, options.track)
    try:
        launch(page, options.host, port, accounts, mcp=options.mcp)
    finally:
        studio.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make a vision-language model forget chosen people, and see what changed."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument(
        "--auth",
        metavar="FILE",
        help="who may log in: a file made with 'unlearn users', or the word 'environment' for STUDIO_PASSWORD "
        "(operator) and STUDIO_VIEWER_PASSWORD (viewer); needed for any address but this machine's own",
    )
    parser.add_argument(
        "--open-to-anyone",
        action="store_true",
        help="serve other machines without a login: whoever reaches the address sees and deletes everything",
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="port; if it is busy the next free one is taken (default: 7860)"
    )
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), help="folder that holds the runs (default: ./workspace)"
    )
    parser.add_argument(
        "--model", help="folder with a Hugging Face checkpoint, or a hub id (default: the embedded demo)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: float32 on a CPU, else as stored)"
    )
    parser.add_argument(
        "--quantize",
        choices=["8bit", "4bit"],
        help="language model in fewer bits; needs a GPU and the extra 'quantize'",
    )
    parser.add_argument("--device-map", choices=["auto", "balanced", "sequential"], help="lay the model over all GPUs")
    parser.add_argument(
        "--memory-limit",
        type=float,
        metavar="GB",
        help="main memory that the studio may take; what needs more is refused with a sentence (default: all there is)",
    )
    parser.add_argument(
        "--track",
        nargs="+",
        default=[],
        metavar="TRACKER",
        help="tell the numbers of runs to tensorboard, trackio or wandb; needs its package (default: nobody is told)",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="ask no hub, whatever is chosen on the page; models come from folders or the cache",
    )
    parser.add_argument(
        "--mcp", action="store_true", help="offer the API to language models as tools (MCP); needs the extra 'mcp'"
    )
    return parser.parse_args()


def _private(offline: bool) -> None:
    """No telemetry, files for our own eyes. The hub is asked only when somebody chooses a model that is there."""
    os.umask(0o077)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _free_port(host: str, wanted: int) -> int:
    for port in range(wanted, wanted + PORTS):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port != wanted:
            print(f"Port {wanted} is busy, port {port} is used instead.")
        return port
    sys.exit(
        f"No port between {wanted} and {wanted + PORTS - 1} is free on {host}. Please give another one with --port."
    )


if __name__ == "__main__":
    sys.exit(main())
