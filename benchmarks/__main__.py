import sys

from benchmarks.run import end_on_signal, main

end_on_signal()
sys.exit(main())
