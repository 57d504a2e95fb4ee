"""The engine of CryoResDL: cryo-EM maps in, resolution out. It knows nothing of Scipion."""
