/** What the model asks of a device: {@link org.megabyte4j.backend.Backend} and {@link org.megabyte4j.backend.Ops}. */
package org.megabyte4j.backend;
