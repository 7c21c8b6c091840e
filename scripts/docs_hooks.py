"""Pages link to files of the repository, which the site does not hold: there such a link becomes its text."""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs calls this with every page before it is rendered."""
    root, folder = Path(config["docs_dir"]).resolve(), Path(page.file.abs_src_path).parent

    def kept(link: re.Match[str]) -> str:
        target = link[2].split("#")[0]
        outside = target.startswith("..") and root not in (folder / target).resolve().parents
        return link[1] if outside else link[0]

    return _LINK.sub(kept, markdown)
