"""`python -m bot`, and the console command `cnibot`."""

from bot.cli import app


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    app(prog_name="cnibot")


if __name__ == "__main__":
    main()
