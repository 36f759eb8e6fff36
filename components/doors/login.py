"""The page on which people log in and out. It stands for itself: nothing else is answered before somebody has."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

from components.doors.visits import Visitor

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>VLM Unlearning Studio</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0 1rem }}
form {{ display: grid; gap: .6rem; width: min(20rem, 90vw) }} input, button {{ font: inherit; padding: .5rem }}
label {{ display: grid }} .wrong {{ color: #b3261e }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #eee }} .wrong {{ color: #f2b8b5 }} }}
</style></head><body><h1>VLM Unlearning Studio</h1>{body}</body></html>"""

_IN = """<form method="post" action="login{link}">{told}
<label>Name <input name="username" autocomplete="username" required autofocus maxlength="64"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form>"""

_OUT = """<form method="post" action="logout"><p>Logged in as {name} ({role}). <a href=".">To the studio</a></p>
<button>Log out</button></form>"""


def page(visitor: Visitor | None, link: str = "", wrong: str = "", status: int = 200) -> HTMLResponse:
    """To log in, or out for somebody who is in.

    Args:
        link: what follows the address of the studio for who has logged in.
    """
    if visitor is not None:
        return HTMLResponse(_PAGE.format(body=_OUT.format(name=escape(visitor.name or ""), role=visitor.role)))
    told = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    return HTMLResponse(_PAGE.format(body=_IN.format(told=told, link=escape(link))), status)
