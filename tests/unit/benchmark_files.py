"""Small files of our own in the layouts of the benchmarks, and folders of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ASKED = {"question": "What is the job of this person?", "answer": "baker"}


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (seed * 40 % 256, 90, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def who(image: Image.Image | None) -> int | None:
    """The seed below 7 that a picture was made from."""
    return None if image is None else image.convert("RGB").tobytes()[0] // 40


def cell(seed: int) -> dict[str, Any]:
    """A picture as the hub stores it in a table."""
    return {"bytes": png(seed), "path": None}


def parquet(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table as the hub has it. Small row groups, so that more than one is read."""
    arrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")
    folder.mkdir(parents=True)
    tables.write_table(arrow.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet", row_group_size=2)


# -- records ----------------------------------------------------------------------------------------------------------


def identity(who: int) -> dict[str, Any]:
    """FIUBench: one line of `full.json`."""
    return {
        "unique_id": f"{who:08d}",
        "image_path": f"./dataset/SFHQ/{who}.png",
        "name": f"Name {who}",
        "gender": "f",
        "caption": "",
        "raw_data": {},
        "qa_list": [
            {
                "question": "What is McDowell's job?",
                "paraphrased_question": ["a?", "b?", "c?"],
                "answer": "Baker in Ghent",
                "paraphrased_answer": "Bakes in Ghent",
                "perturbed_answer": ["Cook in Ghent", "Nurse in Ghent"],
                "keywords": ["Baker"],
            }
        ],
    }


def profile(who: int, **shown: Any) -> dict[str, Any]:
    """MLLMU-Bench: one row. Questions without the picture name the person."""
    choice = {"Question": "Job?", "Options": {"A": "baker", "B": "cook"}, "Correct_Answer": "B"}
    named = choice | {"Question": f"Job of Name {who}?"}
    town = {"Ground_Truth": "Ghent"}
    pictured, pure = {"Type": "Image_Textual"}, {"Type": "Pure_Text"}
    return {
        **shown,
        "ID": f"{who:03d}",
        "biography": json.dumps({"Name": f"Name {who}", "Heights": "1 m"}),
        "question": "Describe.",
        "answer": "A cook.",
        "Classification_Task": {"Image_Textual_Questions": [choice], "Pure_Text_Questions": [named]},
        "Generation_Task": [
            pictured | town | {"Question": "Where?"},
            pure | town | {"Question": f"Where does Name {who} live?"},
        ],
        "Mask_Task": [
            pictured | town | {"Question": "Lives in __"},
            pure | town | {"Question": f"Name {who} lives in __"},
        ],
    }


def person(who: int, **other: str) -> dict[str, Any]:
    """UMU-bench: one row. Questions without the picture name the person."""

    def asked(question: str, **more: Any) -> str:
        ways = {"unimodal": f"{question} ({who})", "muitimodal": question}
        return str({way: {"1": {"question": text, **more}} for way, text in ways.items()})

    qa = {"question": {"1": "Who's this?"}, "answer": {"1": "O'Neill"}}
    return {
        "ID": f"{who:03d}",
        "image": cell(who),
        "Biography": "",
        "MM_QA": str(qa),
        "UM_QA": str(qa),
        "Classify": asked("Job?", options={"A": "baker", "B": "cook"}, answer="B. cook"),
        "Cloze": asked("It's __", answer="it's"),
        "Generation": asked("Tell me.", answer="O'Neill is a cook"),
        **other,
    }


def caption(name: str, seed: int, **more: Any) -> dict[str, Any]:
    """CLEAR: one row with a picture."""
    return {"image": cell(seed), "caption": f"{name} reads.", "name": name, "question": None, "answer": None, **more}


def perturbed(name: str, seed: int) -> dict[str, Any]:
    """CLEAR: one row of a `_perturbed` table."""
    wrong = {"perturbed_captions": ["x", "y"], "perturbed_names": ["z"]}
    return caption(name, seed, paraphrased_caption="p", **wrong)


def text(answer: str) -> dict[str, Any]:
    """CLEAR: one row of TOFU."""
    return {"image": None, "caption": None, "name": None, "question": "Who wrote it?", "answer": answer}


# -- folders ----------------------------------------------------------------------------------------------------------


def fiubench(root: Path, people: int = 400, lists: dict[str, range] | None = None) -> Path:
    """Everybody but number 7 has a picture."""
    lists = lists or {"forget1": range(4), "forget5": range(20), "forget10": range(20, 60), "retain5": range(0)}
    lines(root / "full.json", *map(identity, range(people)))
    (root / "split.json").write_text(json.dumps({k: [f"{i:08d}" for i in who] for k, who in lists.items()}))
    (root / "SFHQ").mkdir()
    for i in range(min(people, 400)):
        if i != 7:
            (root / "SFHQ" / f"{i}.png").write_bytes(png(i))
    return root


def mllmu(root: Path) -> Path:
    parquet(root / "forget_5", [profile(i, image=cell(i)) for i in range(3)])
    parquet(root / "retain_95", [profile(i, image=cell(i)) for i in range(3, 8)])
    parquet(root / "Test_Set", [profile(i, images=[cell(5), cell(6)]) for i in (0, 4)])
    parquet(root / "Retain_Set", [profile(9, image=cell(6))])
    return root


def umu(root: Path) -> Path:
    parquet(root / "forget_5", [person(0), person(1, Cloze="__import__('os').getcwd()")])
    parquet(root / "retain_95", [person(2)])
    parquet(root / "Real_Person_Set", [person(3, Cloze="{" * 5_000)])
    return root


def clear(root: Path) -> Path:
    authors = [caption("Zoë Nuñez", 1), caption("Otto Lind", 2)]
    parquet(
        root / "forget05+tofu",
        authors + [text("Zoe Nunez did.")] * 20 + [text("He did; Otto Lind.")] + [text("He.")] * 19 + [text("?")],
    )
    parquet(root / "retain95+tofu", [caption("Ida Berg", 3)])
    parquet(root / "forget05_perturbed", [perturbed("Otto Lind", 2)])
    parquet(root / "real_faces", [{"image": cell(4), "question": "Who?", "answer": "Ann", "options": ["Ann", "Bob"]}])
    return root
