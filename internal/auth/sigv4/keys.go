package sigv4

// Keys is where the verifier finds credentials, for the one other scheme that
// shares them.
func (v *Verifier) Keys() KeySource { return v.cfg.Keys }
