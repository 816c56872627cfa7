"""The configuration: YAML and the environment in, frozen values out, or every problem at once."""
