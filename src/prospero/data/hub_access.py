"""Whether the Hugging Face hub answers, found out at once: its libraries retry for half a minute before they say so."""

from prospero.log import log
from prospero.printable import printable

TRIES = 2
TIMEOUT_SECONDS = 5.0
STREAMING_RETRIES = 5
"""Times that a broken stream is taken up again; `datasets` alone would try for two minutes."""


def why_unreachable(wanted: str) -> str | None:
    """Say that the hub is asked for `wanted`; return in a few words why it does not answer, None when it does.

    A hub that is switched off by HF_HUB_OFFLINE is not asked, and None is returned: its libraries say that well.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return None
    log.info("Asking %s for %s.", constants.ENDPOINT, wanted)
    reason = ""
    for _ in range(TRIES):
        try:
            get_session().head(constants.ENDPOINT, timeout=TIMEOUT_SECONDS)
        except Exception as error:  # the library that asks changes with the version, and each has classes of its own
            reason = printable(next(iter(str(error).splitlines()), type(error).__name__))
        else:
            return None
    return f"{constants.ENDPOINT}: {reason}"
