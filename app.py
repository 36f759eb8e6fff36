"""Open the studio in the browser."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

PORTS = 50


def main() -> int:
    options = _options()
    temporary = tempfile.mkdtemp(prefix="vlm-unlearning-studio-")
    _private(temporary, offline=options.model is None or Path(options.model).exists())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        from components.build import build, launch
        from unlearn_core.vlm.errors import StudioError

        try:
            port = _free_port(options.host, options.port)
            launch(build(options.model, options.workspace), options.host, port)
        except StudioError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make a vision-language model forget chosen people, and see what changed."
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
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
    return parser.parse_args()


def _private(temporary: str, offline: bool) -> None:
    """No telemetry, uploads in a folder of our own, and no look-ups on the hub when the model is already here."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = temporary
    if offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


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
