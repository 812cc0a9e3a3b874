"""QuPath itself: installations, the headless JVM, pull, push, and the Groovy scripts."""
