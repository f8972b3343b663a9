local worker = ARGV[2]

forget_worker(worker)
return 1
