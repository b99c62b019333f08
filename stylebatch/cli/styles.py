"""`stylebatch styles`: the commands over style targets and the library."""

import typer

from stylebatch.cli.style_files import export, import_styles, warm
from stylebatch.cli.style_listing import list_styles, show
from stylebatch.cli.style_pruning import prune

app = typer.Typer(
    help="Compute style targets ahead of a run; keep, share and switch styles by name.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("warm")(warm)
app.command("list")(list_styles)
app.command("show")(show)
app.command("prune")(prune)
app.command("export")(export)
app.command("import")(import_styles)
