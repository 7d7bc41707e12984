"""Of the whole product; a wheel takes its version from here too."""

VERSION = "0.2.0.dev0"
