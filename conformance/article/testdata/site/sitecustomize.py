"""Python imports this by itself: the toolkit waits a minute for AWS's DNS to
spread a domain's name, and here a name is there when it is made. Shorter waits,
of what asks again, stay as they are."""

import time

sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds if seconds < 60 else 1)
