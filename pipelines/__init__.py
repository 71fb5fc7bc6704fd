"""The commands of the foundry (`python -m pipelines.<command> --help`): the only place with YAML, argv and printing."""
