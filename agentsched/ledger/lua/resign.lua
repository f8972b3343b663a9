local dispatcher = ARGV[2]

if redis.call('GET', P .. ':dispatcher') == dispatcher then
  redis.call('DEL', P .. ':dispatcher')
end
return 1
