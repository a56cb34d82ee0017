/** Native libraries through {@code java.lang.foreign}: one class per library, one method per C function. */
package org.megabyte4j.ffi;
