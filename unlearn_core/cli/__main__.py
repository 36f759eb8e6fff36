from unlearn_core.cli import main

main()
