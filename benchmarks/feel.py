"""How soon the page answers to each thing one can do: until it shows that a press was felt, and until there is the result, or how
far it is.

    python -m benchmarks.feel

Opens a studio of its own on the embedded demo and goes through all pages in Chromium, several times over; the slowest time of
each is told. Nothing else should be busy. Writes benchmarks/results/feel.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.common import RESULTS, write_result
from benchmarks.startup import ROOT, running, wait_for

CHROMIUM = "/usr/bin/chromium"
SIGN, RESULT = 0.1, 1.0
"""Seconds within which there should be a sign, and a result or progress."""
PRESS = 90
"""Milliseconds between down and up."""

WATCH = """
window.feel = {};
const painted = name => { const now = feel; requestAnimationFrame(() => { now[name] ??= performance.now(); }); };
let at = null, rest = '';
const target = e => e.target.closest?.('button, summary, [data-pick], [role="option"]');
addEventListener('pointermove', e => { at = target(e); rest = at && getComputedStyle(at).filter; }, true);
addEventListener('pointerdown', e => {
  feel.pressed ??= e.timeStamp;
  requestAnimationFrame(() => { if (at && getComputedStyle(at).filter !== rest) feel.sign ??= performance.now(); });
}, true);
for (const kind of ['click', 'change']) addEventListener(kind, e => { feel.began ??= e.timeStamp; feel.pressed ??= e.timeStamp; }, true);
const look = () => {
  if (feel.pressed === undefined) return;
  if (feel.sign === undefined) painted('sign');
  if (feel.began !== undefined && feel.seen && feel.seen()) painted('result');
};
addEventListener('DOMContentLoaded', () => new MutationObserver(look).observe(document.body,
  {subtree: true, childList: true, attributes: true, characterData: true}));
"""
"""Times are those of the first frame that shows a change. The sign is counted from the press (what is pressed looks pressed, or
anything on the page changes), the result from the click, which is the end of the press."""


@dataclass
class Walk:
    """Somebody at the page, with a watch."""

    page: Page
    slowest: dict[str, tuple[float, float]] = field(default_factory=dict)

    def does(self, what: str, act: Callable[[], object], seen: str) -> None:
        """Do something. `seen` is a condition, in JavaScript, that is not true before and by which its result is known."""
        assert not self.page.evaluate(seen), f"{what}: seen before it is done"
        self.page.evaluate(f"feel = {{seen: () => {{ try {{ return {seen} }} catch {{ return false }} }}}}")
        act()
        sign, result = self.page.evaluate(
            """async () => {
              const end = performance.now() + 60000;
              while (feel.result === undefined && performance.now() < end) await new Promise(r => setTimeout(r, 20));
              return [feel.sign - feel.pressed, feel.result - feel.began].map(t => t / 1000);
            }"""
        )
        assert result > 0, f"{what}: nothing came"
        before = self.slowest.get(what, (0.0, 0.0))
        self.slowest[what] = (max(sign, before[0]), max(result, before[1]))
        print(f"{what:46} {sign:6.3f} {result:6.3f}", flush=True)

    def clicks(self, what: str, element: str, seen: str) -> None:
        self.does(what, press(self.page.locator(element).first), seen)

    def turns_to(self, name: str, seen: str) -> None:
        self.does(f"turn to {name}", press(self.page.get_by_role("tab", name=name, exact=True)), seen)


def press(place: Locator) -> Callable[[], None]:
    """A click as of a finger, which is down for a moment."""
    return lambda: place.click(delay=PRESS)


def text(element: str) -> str:
    """JavaScript for what stands there."""
    return f"(document.querySelector({element!r})?.innerText ?? '')"


def visible(element: str) -> str:
    return f"!!document.querySelector({element!r})?.checkVisibility()"


def checked(element: str) -> str:
    return f"document.querySelector({element!r})?.getAttribute('aria-checked') === 'true'"


def inspect(walk: Walk, picture: Path) -> None:
    page, heat = walk.page, "document.querySelector('#inspect-map .heatmaplayer image')?.outerHTML"
    walk.clicks(
        "choose a picture", "#inspect-picker [data-pick='p07@0']", f"{text('#inspect-title')} === 'Otto Corvin'"
    )
    page.wait_for_timeout(1000)
    walk.clicks(
        "ask a suggested question",
        "#inspect-suggestions [data-pick='description']",
        f"{text('#inspect-answer .said')}.includes('hair')",
    )
    page.wait_for_timeout(1000)
    page.evaluate(f"window.before = {heat}")
    word = page.locator("#inspect-words .word").nth(2)
    walk.does("choose a word", press(word), f"{heat} && {heat} !== before")
    page.locator("#inspect-question textarea").fill("What colour is the shirt of this person?")
    page.wait_for_timeout(1000)
    walk.clicks("ask", "#inspect-ask", f"!{text('#inspect-answer .said')}.includes('hair')")
    page.wait_for_timeout(1000)
    page.locator("#inspect-kind input").click()
    slow = page.get_by_role("option", name="loss without each patch")
    walk.does("choose a slow map", press(slow), f"{text('#inspect-note')}.includes(' of ')")
    walk.clicks("stop it", "#inspect-stop", f"{text('#inspect-note')}.includes('Click a place')")
    page.wait_for_timeout(500)
    walk.clicks("test the map", "#inspect-check", f"{text('#inspect-verdict')}.includes(' of ')")
    page.locator("#inspect-stop").click()
    page.locator("#inspect-stop").wait_for(state="hidden")
    upload = page.locator("#inspect-upload")
    with page.expect_file_chooser() as chooser:
        upload.click()
    page.wait_for_timeout(500)
    walk.does(
        "bring a picture",
        lambda: chooser.value.set_files(picture),
        f"{text('#inspect-about')}.includes('drawn world only')",
    )


def forget(walk: Walk) -> None:
    walk.turns_to("Forget", visible("#forget-picker"))
    one = "#forget-picker [data-pick='p03']"
    walk.clicks("mark a person", one, f"{checked(one)} && {text('#forget-summary')}.includes('1 person')")
    walk.clicks("take all marks off", "#forget-clear", f"!({checked(one)}) && {visible('#forget-undo')}")
    walk.clicks("undo that", "#forget-undo", f"{checked(one)} && {text('#forget-summary')}.includes('1 person')")


def unlearn(walk: Walk, steps: int) -> None:
    """A run that is cancelled, and one that ends."""
    page, progress = walk.page, text("#unlearn-progress")
    walk.turns_to("Unlearn", visible("#unlearn-methods"))
    for method in ("cvf", "cagul"):
        one = f"#unlearn-methods [data-pick='{method}']"
        if page.locator(one).get_attribute("aria-checked") != "true":
            walk.clicks("choose a method", one, f"{checked(one)} && {visible(f'#option-{method}-steps')}")
    page.locator("#option-cagul-steps input").fill("5000")
    walk.clicks("start a run", "#unlearn-start", f"/[0-9]+ of [0-9]+/.test({progress})")
    page.locator("#unlearn-cancel").wait_for()
    page.wait_for_timeout(3000)
    walk.clicks("cancel a run", "#unlearn-cancel", f"/cancel/i.test({progress})")
    page.locator("#unlearn-start:enabled").wait_for()
    page.locator("#unlearn-cancel").wait_for(state="hidden")
    page.locator("#option-cagul-steps input").fill(str(steps))
    page.locator("#unlearn-start").click()
    page.locator("#unlearn-onward").wait_for(timeout=300_000)


def after(walk: Walk) -> None:
    """What one does with a run that is finished."""
    page = walk.page
    walk.turns_to("Compare", visible("#compare-start"))
    page.wait_for_timeout(1000)
    walk.clicks(
        "compare",
        "#compare-start",
        f"{visible('#compare-cancel')} && /[0-9]+ of [0-9]+/.test({text('#compare-progress')})",
    )
    walk.clicks("cancel the comparison", "#compare-cancel", f"!({visible('#compare-cancel')})")
    page.wait_for_timeout(3000)
    walk.turns_to("Audit", visible("#audit-start"))
    page.wait_for_timeout(1000)
    walk.clicks("attack", "#audit-start", visible("#audit-cancel"))
    walk.clicks(
        "cancel the attacks", "#audit-cancel", f"!({visible('#audit-cancel')}) || {text('#audit-cancel')} !== 'Cancel'"
    )
    page.wait_for_timeout(3000)
    walk.turns_to("Export", visible("#export-make"))
    page.wait_for_timeout(1000)
    walk.clicks("make a bundle", "#export-make", f"{text('#export-made')}.includes('reading it back')")


def runs(walk: Walk) -> None:
    page = walk.page
    walk.turns_to("Runs", visible("#runs-table button"))
    page.wait_for_timeout(1000)
    walk.clicks("choose a run", "#runs-table button", visible("#runs-losses .js-plotly-plot"))
    page.wait_for_timeout(1000)
    walk.clicks("delete a run", "#runs-delete", f"{text('#runs-delete')}.includes('Delete it')")
    walk.clicks("confirm it", "#runs-delete", visible("#runs-undo"))
    walk.clicks("undo that it is deleted", "#runs-undo", f"!({visible('#runs-undo')})")


def model(walk: Walk) -> None:
    page = walk.page
    if not page.locator("#model-check").is_visible():
        walk.clicks("open the panel of models", "#model-panel button.label-wrap", visible("#model-check"))
    page.evaluate(f"window.before = {text('#model-told')}")
    walk.clicks(
        "will it fit?", "#model-check", f"{text('#model-told')} !== before && {text('#model-told')}.length > 20"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often all is done (default: 3)")
    parser.add_argument("--steps", type=int, default=5, help="of the run that is compared and exported (default: 5)")
    parser.add_argument("--out", type=Path, default=RESULTS / "feel.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        picture, home = Path(folder) / "teal.png", Path(folder) / "home"
        home.mkdir()
        Image.new("RGB", (640, 480), "teal").save(picture)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        slowest: dict[str, tuple[float, float]] = {}
        with running(ROOT, home) as url:
            wait_for(url)
            for _ in range(args.rounds):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.add_init_script(WATCH)
                page.goto(url)
                page.locator("#inspect-answer .said").wait_for()
                page.wait_for_timeout(2000)
                walk = Walk(page, slowest)
                inspect(walk, picture)
                forget(walk)
                unlearn(walk, args.steps)
                after(walk)
                runs(walk)
                model(walk)
                page.close()
        browser.close()
    rows = [{"what": w, "sign_s": round(s, 3), "result_s": round(r, 3)} for w, (s, r) in slowest.items()]
    late = [row["what"] for row in rows if row["sign_s"] > SIGN or row["result_s"] > RESULT]
    write_result(args.out, "feel", rounds=args.rounds, later_than_meant=late, rows=rows)
    print(f"Later than {SIGN} s (sign) or {RESULT} s (result or progress): {', '.join(late) or 'nothing'}.")


if __name__ == "__main__":
    main()
