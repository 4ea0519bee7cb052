"""The page at `/`: a few static files, read once, under a policy that lets nothing else in.

No script or style but these files, no resource of another origin, no frame around the page. Trusted types are required
and none may be made: the browser itself refuses a script of ours that would turn text of a model into HTML.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

FOLDER = Path(__file__).parent / "page"
KINDS = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "theme.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "server.js": "text/javascript; charset=utf-8",
    "store.js": "text/javascript; charset=utf-8",
    "elements.js": "text/javascript; charset=utf-8",
    "settings.js": "text/javascript; charset=utf-8",
    "tokens.js": "text/javascript; charset=utf-8",
    "chances.js": "text/javascript; charset=utf-8",
    "writing.js": "text/javascript; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
    "completion.js": "text/javascript; charset=utf-8",
}
"""Every file of the page and its media type; no other name is served."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_router() -> APIRouter:
    """Return the routes `/` and `/page/<name>`; a request never reaches the disk."""
    router = APIRouter()
    files = {name: (FOLDER / name).read_bytes() for name in KINDS}

    def answer(name: str) -> Response:
        return Response(files[name], media_type=KINDS[name], headers=HEADERS)

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> Response:
        return answer("index.html")

    @router.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in KINDS:
            raise HTTPException(404, f"the page has no file of this name; it has {', '.join(KINDS)}")
        return answer(name)

    return router
