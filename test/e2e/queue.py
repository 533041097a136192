"""queue.py PATH - read, lock and empty a directory queue, as ssmsend does.

Prints one JSON object per element: its name and its text.
"""
import json
import sys

from dirq.QueueSimple import QueueSimple

queue = QueueSimple(sys.argv[1])
for name in queue:
    if not queue.lock(name):
        sys.exit('element %s cannot be locked' % name)
    print(json.dumps({'name': name, 'text': queue.get(name).decode('ascii')}))
    queue.remove(name)
queue.purge()
if queue.count():
    sys.exit('%d elements are left' % queue.count())
