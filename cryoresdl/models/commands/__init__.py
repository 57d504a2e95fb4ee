"""One module per subcommand of ``cryoresdl``: HELP, EXAMPLE, add_arguments(parser), run(args)."""
