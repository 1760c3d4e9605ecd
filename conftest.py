"""Every test may use the fixtures of libs/testkit."""

pytest_plugins = ["testkit.plugin"]
