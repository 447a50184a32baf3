"""What the commands show and write: lines, tables, pictures, files of messages and of frames."""
