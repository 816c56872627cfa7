"""The configuration: YAML and the environment in, frozen values out, or every problem at once.

`load.load_config` is the way in and `sections.Config` what comes out. `document` reads the file,
`environment` fills what it leaves out, and `places` remembers where each key was given, also for
problems that only show later.
"""
