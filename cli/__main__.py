"""`python -m cli`: the `halon` command without its installed script."""

from cli.main import run

if __name__ == "__main__":
    run()
