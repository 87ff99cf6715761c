"""``python -m service`` is ``webhook-watch``."""

from service.cli import main

if __name__ == "__main__":
    main()
