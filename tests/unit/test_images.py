"""Whatever file arrives becomes an upright RGB picture or a `BadImage`, soon and without much memory."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadImage
from unlearn_core.vlm.images import MAX_BYTES, MAX_RATIO, open_image, to_rgb

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def half_red() -> Image.Image:
    """40 x 20, red on the left and blue on the right."""
    image = Image.new("RGB", (40, 20), BLUE)
    image.paste(RED, (0, 0, 20, 20))
    return image


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 6) -> bool:
    got = image.getpixel(at)
    assert isinstance(got, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(got, colour, strict=True))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_known_formats_open_from_bytes_and_from_files(kind: str, tmp_path: Path) -> None:
    data = saved(half_red(), kind)
    (tmp_path / "picture").write_bytes(data)
    for image in (open_image(data), open_image(tmp_path / "picture"), open_image(str(tmp_path / "picture"))):
        assert (image.mode, image.size) == ("RGB", (40, 20))
        assert near(image, (5, 10), RED)
        assert near(image, (35, 10), BLUE)


@pytest.mark.parametrize(
    ("mark", "size", "red"),
    [(1, (40, 20), (5, 10)), (3, (40, 20), (35, 10)), (6, (20, 40), (10, 5)), (8, (20, 40), (10, 35))],
)
def test_photographs_are_turned_upright(mark: int, size: tuple[int, int], red: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = mark
    image = open_image(saved(half_red(), "JPEG", exif=exif, quality=95))
    assert image.size == size
    assert near(image, red, RED, 12)


def test_transparent_parts_become_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 255, 255))
    image.putpixel((1, 0), (0, 0, 0, 128))
    out = open_image(saved(image))
    assert near(out, (3, 3), WHITE)
    assert near(out, (0, 0), BLUE)
    assert near(out, (1, 0), (127, 127, 127))
    assert near(open_image(saved(Image.new("LA", (4, 4), (0, 0)))), (0, 0), WHITE)


def test_palettes_are_resolved() -> None:
    assert near(open_image(saved(half_red().quantize(4))), (5, 10), RED)
    see_through = Image.new("P", (4, 4), 1)
    see_through.putpalette([255, 0, 0, 0, 0, 255])
    see_through.putpixel((0, 0), 0)
    out = open_image(saved(see_through, transparency=1))
    assert near(out, (0, 0), RED)
    assert near(out, (3, 3), WHITE)


def test_sixteen_bits_keep_their_shades() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(16, 0)
    out = np.asarray(open_image(saved(Image.fromarray(ramp))))
    np.testing.assert_allclose(out[0, :, 0], np.arange(256), atol=1)
    assert (out == out[..., :1]).all()


def test_a_dark_picture_of_sixteen_bits_stays_dark() -> None:
    out = open_image(saved(Image.fromarray(np.full((8, 8), 200, dtype=np.uint16))))
    assert near(out, (4, 4), (1, 1, 1), 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I", "F", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert to_rgb(Image.new(mode, (5, 3))).mode == "RGB"


def test_cmyk_photographs_keep_their_colours() -> None:
    assert near(open_image(saved(half_red().convert("CMYK"), "JPEG", quality=95)), (5, 10), RED, 12)


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (20, 20), c) for c in (RED, BLUE)]
    out = open_image(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert near(out, (10, 10), RED)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (3, 3), (MAX_RATIO, 1), (1, MAX_RATIO)])
def test_tiny_and_narrow_pictures_reach_the_model(tiny_vlm: VLM, size: tuple[int, int]) -> None:
    image = open_image(saved(Image.new("RGB", size, RED)))
    assert image.size == size
    (view,) = tiny_vlm.see([Prompt(image, "Who is this?")])
    assert len(view.tokens) == view.tiles[0].rows * view.tiles[0].cols
    assert view.tokens.isfinite().all()
    assert len(tiny_vlm.ask([Prompt(image, "Who is this?")], rows=True, max_new_tokens=1)) == 1


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(side: int, lines: int) -> bytes:
    """A square PNG of one bit per pixel that announces `side` lines and holds `lines` of them, all black."""
    packer = zlib.compressobj(9)
    line = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(line) for _ in range(lines)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "lines"), [(10_000, 10_000), (10_000, 1), (13_000, 1), (20_000, 1), (60_000, 1)])
def test_bombs_are_refused_by_what_they_announce(side: int, lines: int) -> None:
    """One that holds a single line would, had it been unpacked, be refused as unreadable instead."""
    bomb = png_of(side, lines)
    assert len(bomb) < 100_000
    began = time.perf_counter()
    with pytest.raises(BadImage, match="40 megapixels"):
        open_image(bomb)
    assert time.perf_counter() - began < 1


def _no_pictures() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "text", b"This is not a picture."
    yield "html", b"<!doctype html><html><body><img src='x'></body></html>"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"
    yield "pdf", b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF"
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "icon", saved(half_red(), "ICO")
    yield "signature", b"\x89PNG\r\n\x1a\n"
    yield "zeros", bytes(1000)
    yield "half a png", saved(half_red())[:60]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    yield "half a jpeg", saved(noise, "JPEG")[:1500]
    yield "half a gif", saved(noise, "GIF")[:900]
    broken = bytearray(saved(noise))
    broken[100:400] = bytes(300)
    yield "broken png", bytes(broken)


@pytest.mark.parametrize("data", [pytest.param(d, id=n) for n, d in _no_pictures()])
def test_what_is_no_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadImage):
        open_image(data)
    (tmp_path / "photo.png").write_bytes(data)
    with pytest.raises(BadImage):
        open_image(tmp_path / "photo.png")


@pytest.mark.parametrize("size", [(MAX_RATIO + 1, 1), (1, MAX_RATIO + 1), (20_000, 10)])
def test_far_too_narrow_pictures_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match="narrow"):
        open_image(saved(Image.new("1", size)))


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadImage, match="30 MB"):
        open_image(large)
    with pytest.raises(BadImage, match="30 MB"):
        open_image(bytes(MAX_BYTES + 1))


def test_files_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.png"):
        with pytest.raises(BadImage):
            open_image(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_photograph_marks_do_not_hide_the_photograph() -> None:
    image = open_image(saved(half_red(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff", quality=95))
    assert near(image, (5, 10), RED, 12)
