"""The pages of the studio. They ask the library and draw; nothing is computed here that the library could compute."""
