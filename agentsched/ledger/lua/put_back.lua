return put_back(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
