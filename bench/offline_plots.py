"""Has `dvc plots show` write a page that needs no network: once `pip install vl-convert-python`, then this in a project's folder.

DVC's own page loads Vega from a server for scripts. This writes a page template with Vega in it (0.9 MB, from that package) to
`.dvc/plots/offline.html`, and its place into `.dvc/config.local`; git ignores both.
"""

import subprocess
import sys
from pathlib import Path

VEGA_LITE = "5.21"  # of the version that DVC's page and the templates in .dvc/plots name: 5
TEMPLATE = Path("plots") / "offline.html"  # from .dvc
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots</title>
{refresh_tag}
<script>%s</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def write_template(folder: Path) -> Path:
    """The template below a project's `.dvc`, which is told to take it."""
    import vl_convert

    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE).replace("</script", "<\\/script")
    file = folder / ".dvc" / TEMPLATE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PAGE % vega, encoding="utf-8")
    subprocess.run(["dvc", "config", "--local", "plots.html_template", TEMPLATE.as_posix()], cwd=folder, check=True)
    return file


if __name__ == "__main__":
    print(write_template(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
