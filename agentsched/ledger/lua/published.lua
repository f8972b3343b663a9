return published(ARGV[3], ARGV[4])
